import Linux

/// The network namespace that this process is in, network_namespaces(7).
public enum NetworkNamespace {
  /// Whether it is the machine's first one, which outlives every container: the kernel then delivers what a
  /// process leaves behind. Told by a sysctl that exists there alone (net/ipv4/sysctl_net_ipv4.c, ipv4_table).
  public static var isHosts: Bool { File.exists(CString("/proc/sys/net/ipv4/tcp_mem")) }
}
