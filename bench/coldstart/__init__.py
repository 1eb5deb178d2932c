"""How many impressions a new arm needs until its rate is known."""
