"""The worker `topic_researcher`: what is known about a topic, from a source document or a language model."""
