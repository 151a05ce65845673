"""The applications that the servers under measurement serve. They know nothing of memory."""
