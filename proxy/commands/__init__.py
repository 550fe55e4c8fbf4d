"""What an operator asks at a terminal, beside `serve`."""
