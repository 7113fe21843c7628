"""The kinds of proxies that there are, a file each: a configuration and what it can do (:class:`causalmix_nb.proxies.config.Trainable`)."""
