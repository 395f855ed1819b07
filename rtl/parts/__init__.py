"""What arrays and units share: parts and their places, streams, gates of a cell, trees."""
