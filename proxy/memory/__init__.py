"""Where what lives as long as the process lies in memory."""
