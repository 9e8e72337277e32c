"""What Tests/Benchmarks/requests.py is made of."""
