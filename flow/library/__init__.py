"""Liberty files: reading, slimming, the shipped one."""
