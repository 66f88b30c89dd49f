"""What several test folders share. Nothing here is collected as a test."""
