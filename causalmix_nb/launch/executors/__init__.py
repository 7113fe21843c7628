"""Where runs can execute, a file each: in this process, in worker processes of this machine, on a Ray cluster."""
