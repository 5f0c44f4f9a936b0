"""What a method is asked, and the baselines it is asked beside."""
