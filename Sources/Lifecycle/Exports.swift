// All that happens here happens in time.
@_exported import Time
