// YAML for people: objects of the API out, edited documents in.
#pragma once

#include "api/json.h"
#include "base/result.h"

#include <map>
#include <string>
#include <string_view>

namespace lxmgr::cli
{

/// A document with a line feed at its end; strings that YAML would read as something else are quoted.
std::string toYaml(const api::Json &value);

/// Where a key comes from: "config.limits.memory" or "devices.eth0" gives "profile default".
using Origins = std::map<std::string, std::string>;
/// The same with a comment behind each key of `config` and `devices`.
std::string toYaml(const api::Json &value, const Origins &origins);

/// Plain scalars become booleans and numbers where they look like ones, except below `config` and `devices`, whose
/// values are text whatever they look like. Invalid with `source`, line and column.
Result<api::Json> fromYaml(const std::string &text, const std::string &source);

} // namespace lxmgr::cli
