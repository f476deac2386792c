// Copying and moving instances between two hosts; what both daemons are told is in transfer.h.
#pragma once

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"

#include <string>

namespace lxmgr::cli
{

/// The remote that a copy goes to: that of the second word, or of "b:" alone; else where it comes from.
Result<std::string> destinationOf(Context &context, const Arguments &arguments);
/// Whether `to` is where the instance is already, under whatever name. --mode asks for a transfer between two names of one host
/// all the same.
Result<bool> isOneHost(Context &context, const Arguments &arguments, const std::string &to);

/// "default" where none was named.
std::string projectOf(const client::Client &client);

Result<int> copyBetween(Context &context, const Arguments &arguments, const std::string &to);
Result<int> moveBetween(Context &context, const Arguments &arguments, const std::string &to);
/// Flags that mean something only between two.
Status checkOneHost(const Arguments &arguments);

} // namespace lxmgr::cli
