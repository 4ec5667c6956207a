"""What runs need of the machine: files, locks, devices, progress, environments."""
