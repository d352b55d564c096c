"""Many runs as one program: axes, lanes, packs, devices, and the folder that holds a sweep."""
