"""Published programs and packages for MeTRAbs models, each with an exported model of ours, see `command`."""
