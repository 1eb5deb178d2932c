"""What a decision costs: in process, and over HTTP."""
