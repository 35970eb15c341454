"""The two servers that a single machine runs for itself: NATS and Postgres, from wheels, in one data folder."""
