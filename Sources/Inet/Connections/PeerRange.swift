import Linux

/// Addresses of peers: one, or a network of them.
public struct PeerRange: Sendable {
  private let address: Endpoint
  /// How many of the address' bits count, of an IPv4 one's 32 or an IPv6 one's 128.
  private let bits: Int

  /// "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"; nil where it is none of these.
  public init?(_ text: [UInt8]) {
    let slash = text.firstIndex(of: UInt8(ascii: "/")) ?? text.count
    guard let address = text[..<slash].copy.withCString({ Endpoint(address: $0) }) else { return nil }
    let width = address.isIPv6 ? 128 : 32
    self.address = address
    if slash == text.count {
      bits = width
    } else {
      guard let bits = decimal(text[(slash + 1)...]), bits <= UInt64(width) else { return nil }
      self.bits = Int(bits)
    }
  }

  /// Whether a peer's address is one of these.
  public func contains(_ peer: Endpoint) -> Bool {
    if address.isIPv6 && address.ipv4 == nil {
      guard peer.isIPv6 else { return false }
      let upper = min(bits, 64)
      return PeerRange.agree(peer.high, address.high, upper, of: 64)
        && PeerRange.agree(peer.low, address.low, bits - upper, of: 64)
    }
    // A socket that serves both families shows an IPv4 peer as ::ffff:a.b.c.d.
    guard let own = address.ipv4, let its = peer.ipv4 else { return false }
    return PeerRange.agree(UInt64(its), UInt64(own), address.isIPv6 ? max(0, bits - 96) : bits, of: 32)
  }

  private static func agree(_ left: UInt64, _ right: UInt64, _ bits: Int, of width: Int) -> Bool {
    bits == 0 || (left ^ right) >> UInt64(width - bits) == 0
  }
}
