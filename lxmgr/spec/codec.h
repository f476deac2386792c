// Codec: structs as tagged, length-prefixed fields. A field the reader does not know is skipped, one the writer did not
// know keeps its default: daemon and monitor may be of different versions.
//
//   struct:  { u16 tag, u32 length, bytes }...      number, bool, enum: 8 bytes, little-endian
//   list:    { u32 length, bytes }...               pair of texts: u32 length, first, second
#pragma once

#include "base/result.h"
#include "spec/launch.h"
#include "spec/messages.h"

#include <string>
#include <string_view>

namespace lxmgr::spec
{

/// For LaunchSpec and every struct of messages.h.
template <class T> std::string encode(const T &value);
/// Corrupt when the bytes are not such a struct.
template <class T> Result<T> decode(std::string_view bytes);

} // namespace lxmgr::spec
