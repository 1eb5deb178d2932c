"""What a decision costs: in process, and over HTTP beside Feast's own feature server, with one client on one machine, in turns."""
