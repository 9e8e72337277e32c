"""What Tests/Kernels/run is made of."""
