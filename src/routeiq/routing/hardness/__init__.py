"""What a prompt's words and tools say about how hard it is, beside what it is about."""
