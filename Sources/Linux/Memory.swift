import CLinux

/// This process's own memory, and what it does without where there is none.
///
/// PID 1 may not end for want of memory, and Swift ends a program whose allocation fails. So the release build's heap
/// keeps a reserve (heap.c), enough for a whole stop; what outsiders can make large (tables of connections and of
/// processes, clients of the control socket) asks here first, and is left out where the answer is no: the report then
/// says "not measured", the client is turned away, the service is not touched.
public enum Memory {
  /// Whether the kernel has refused memory once, and ebb lives on its reserve.
  public static var isScarce: Bool { clinux_memory_is_scarce() }

  /// Whether so many bytes can be had beside the reserve.
  public static func allows(_ bytes: Int) -> Bool { clinux_memory_allows(bytes) }
}
