import CLinux

/// This process's own memory, and what it does without where there is none.
///
/// PID 1 may not end for want of memory, and Swift ends a program whose allocation fails. So the release build's heap
/// keeps a reserve (heap.c), enough for a whole stop; what outsiders can make large, tables of connections and of
/// processes, asks here before it grows, and does without where the answer is no. The service is not touched.
public enum Memory {
  /// Whether so many bytes can be had beside the reserve.
  public static func allows(_ bytes: Int) -> Bool { clinux_memory_allows(bytes) }
}

/// Runs `body` with so many bytes of no known content, which are gone after it: for what the kernel fills, so that no page
/// is touched that it leaves alone.
public func withBuffer<Result>(
  of size: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Errno) -> Result
) throws(Errno) -> Result {
  let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: size, alignment: MemoryLayout<UInt64>.alignment)
  defer { buffer.deallocate() }
  return try body(buffer)
}
