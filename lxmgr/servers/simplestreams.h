// Simplestreams: the index of an image server and its lists of products, read into images. Text of strangers: bounds of api/json,
// and what names no image that could be fetched is passed over.
#pragma once

#include "base/result.h"
#include "servers/offer.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::servers
{

inline constexpr std::string_view kStreamsIndex = "streams/v1/index.json";

/// Paths of the lists of images that streams/v1/index.json names. Invalid where it is no such index.
Result<std::vector<std::string>> readStreamsIndex(std::string_view json);
/// The containers among the products, newest versions first. Of each name only the newest version has it: "debian/12" where it is for
/// `architecture`, "debian/12/arm64" for every one. Invalid where it is no list of products.
Result<std::vector<Offer>> readProducts(std::string_view json, std::string_view architecture);

/// "x86_64" of "amd64"; what is not known stays as it is.
std::string kernelArchitecture(std::string_view name);

} // namespace lxmgr::servers
