"""S3: tasks and groups found from structure, then text."""
