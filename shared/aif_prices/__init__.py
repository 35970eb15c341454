"""What providers charge: dated price versions as data, and exact arithmetic over them."""
