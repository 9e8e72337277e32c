import Linux

/// Socket cookies in the order in which they came, and the place of each: a hash table of numbers, with no more to
/// it than that.
struct CookieIndex {
  private var cookies: [UInt64] = []
  /// Places plus one, by the cookie's hash, with the next free slot taken where one is not; always at most half
  /// full. 0 is free.
  private var slots: [Int32] = []

  /// How many there are.
  var count: Int { cookies.count }

  /// The place of a cookie, from 0; nil where it is not there.
  func place(of cookie: UInt64) -> Int? {
    if slots.isEmpty { return nil }
    let number = slots[slot(of: cookie)]
    return number == 0 ? nil : Int(number) - 1
  }

  /// Whether one more can be taken in, with so many bytes of its owner's beside it: the table is large enough, or small,
  /// or there is memory for one of twice the size.
  func hasRoom(besides bytes: Int = 0) -> Bool {
    (cookies.count + 1) * 2 <= slots.count || slots.count < 128 || Memory.allows(slots.count * (32 + bytes))
  }

  /// Appends a cookie; false where it is there already.
  mutating func insert(_ cookie: UInt64) -> Bool {
    if (cookies.count + 1) * 2 > slots.count {
      slots = [Int32](repeating: 0, count: max(64, slots.count * 2))
      for place in cookies.indices { slots[slot(of: cookies[place])] = Int32(place + 1) }
    }
    let slot = slot(of: cookie)
    if slots[slot] != 0 { return false }
    cookies.add(cookie)
    slots[slot] = Int32(cookies.count)
    return true
  }

  /// Forgets all of them, and gives the memory back.
  mutating func removeAll() { self = CookieIndex() }

  /// The slot in which a cookie is, or would be put.
  private func slot(of cookie: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: (cookie &* 0x9e37_79b9_7f4a_7c15) >> 32) & (slots.count - 1)
    while slots[slot] != 0 && cookies[Int(slots[slot]) - 1] != cookie {
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }
}
