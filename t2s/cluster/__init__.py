"""A Ray cluster on this machine: a head and worker nodes as processes of their own, on loopback, with a token."""
