"""Where raw events come from. Each source lands raw tables in an inbox; the platform never imports one."""
