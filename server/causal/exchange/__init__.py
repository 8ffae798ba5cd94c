"""Exchange with other tools: graphs, networks of tables, studies from graphs, models for others."""
