"""What other people's tools need to go on from a generated design: one file a format."""
