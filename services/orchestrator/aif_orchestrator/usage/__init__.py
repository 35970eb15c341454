"""What was used and what it cost, summed by the database."""
