// Whoever has system calls has times.
@_exported import Time
