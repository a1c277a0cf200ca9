"""HTTP without OAuth and without OAC: messages, the ``IO`` protocol, its two drivers, retry decisions."""
