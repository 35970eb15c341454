"""The worker `analyst`: speech to text, personal data out of texts, moods, summaries. Its actions are capabilities."""
