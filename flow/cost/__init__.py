"""What cells, elements and arrays cost."""
