"""The worker `workflow_generator`: a description in words in, the steps of a workflow out."""
