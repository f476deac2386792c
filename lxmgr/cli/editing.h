// Objects read, changed and written back: what the set, unset and edit commands of all families share.
#pragma once

#include "cli/context.h"

#include <span>
#include <string>
#include <string_view>

namespace lxmgr::cli
{

/// An object as it was read, and the ETag that guards writing it back.
struct Versioned {
    api::Json object;
    std::string etag;
};
Result<Versioned> fetch(Context &context, const std::string &path);
/// The server has no PATCH of "remove this key": the whole object goes back, guarded by its ETag ("": whatever it is
/// now).
Status put(Context &context, const std::string &path, const api::Json &object, const std::string &etag);
/// The YAML the user gives: from standard input, or edited, again after a mistake until it is right or given up. `help`
/// stands above it as comments.
Status edit(Context &context, const std::string &path, std::string_view help, const api::Json &document,
            const std::string &etag);
/// A value as `get` prints it; null is "".
std::string valueText(const api::Json &value);

// Pools and volumes: objects with keys below "config" and a description, which --property means.
Status getKey(Context &context, const Arguments &arguments, const std::string &path, const std::string &key);
Status setKeys(Context &context, const Arguments &arguments, const std::string &path, std::span<const std::string> pairs);
/// NotFound names a key that is not set on `name`.
Status unsetKeys(Context &context, const Arguments &arguments, const std::string &path, const std::string &name,
                 std::span<const std::string> keys);
Status editKeys(Context &context, const std::string &path, std::string_view help);

} // namespace lxmgr::cli
