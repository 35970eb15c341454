"""What came out, for somebody who reads it on a terminal."""
