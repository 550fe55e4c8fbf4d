"""What the pages say is held to the code."""
