// Names and numbers made up for instances.
#include "instances/names.h"

#include "base/text.h"

#include <array>
#include <sys/random.h>
#include <sys/utsname.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::string_view kAdjectives[] = {"amber", "brave", "brisk", "calm",  "clever", "crisp", "eager", "early", "fair",  "fleet",
                                            "fresh", "gentle", "glad", "grand", "happy",  "keen",  "light", "lucky", "mellow", "merry",
                                            "neat",  "noble", "polite", "proud", "quick", "quiet", "ready", "sharp", "smooth", "sunny",
                                            "swift", "warm"};
constexpr std::string_view kNouns[] = {"badger", "beaver", "bison", "crane", "curlew", "dolphin", "eagle", "falcon", "finch", "gecko",
                                       "heron",  "ibex",   "jay",   "kestrel", "lark", "lemur",  "lynx",  "marten", "moose", "newt",
                                       "orca",   "otter",  "owl",   "panda", "puffin", "raven",  "robin", "seal",   "stork", "swan",
                                       "tapir",  "wren"};

template <std::size_t N> std::array<unsigned char, N> randomBytes()
{
    std::array<unsigned char, N> bytes{};
    // getrandom(2) of up to 256 bytes neither fails nor is cut short once the pool is ready.
    while (::getrandom(bytes.data(), N, 0) != static_cast<ssize_t>(N)) {
    }
    return bytes;
}

} // namespace

std::string inventName()
{
    const auto bytes = randomBytes<2>();
    return std::string(kAdjectives[bytes[0] % std::size(kAdjectives)]) + "-" + std::string(kNouns[bytes[1] % std::size(kNouns)]);
}

std::string newUuid()
{
    auto bytes = randomBytes<16>();
    bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
    bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
    std::string text = toHex(bytes);
    for (const std::size_t at : {8, 13, 18, 23})
        text.insert(at, "-");
    return text;
}

std::string uuidOf(const store::Instance &row)
{
    const auto uuid = row.config.find(kUuidKey);
    return uuid == row.config.end() ? std::string() : uuid->second;
}

std::string newMac()
{
    const auto bytes = randomBytes<3>();
    const std::string hex = toHex(bytes);
    // The prefix that relatives of ours use for guests' interfaces, so that tools know them.
    return "00:16:3e:" + hex.substr(0, 2) + ":" + hex.substr(2, 2) + ":" + hex.substr(4, 2);
}

std::string newHostInterface() { return "veth" + toHex(randomBytes<4>()); }

std::string hostArchitecture()
{
    utsname host{};
    ::uname(&host);
    return host.machine;
}

StringMap missingCardKeys(const StringMap &config, const std::vector<config::Device> &devices)
{
    StringMap missing;
    const auto give = [&](const std::string &key, bool wanted, auto &&make) {
        if (wanted && !config.contains(key))
            missing[key] = make();
    };
    for (const config::Device &device : devices)
        if (const auto *nic = device.as<config::NicDevice>()) {
            give("volatile." + device.name + ".hwaddr", !nic->hwaddr && nic->hasOwnMac(), &newMac);
            give("volatile." + device.name + ".host_name", !nic->hostName && nic->hasHostEnd(), &newHostInterface);
        }
    return missing;
}

void addVolatile(store::Instance &row, const std::vector<config::Device> &devices, Birth birth)
{
    const auto give = [&](const std::string &key, auto &&make) {
        if (birth != Birth::Imported || !row.config.contains(key))
            row.config[key] = make();
    };
    give(kUuidKey, &newUuid);
    row.config[kPowerKey] = "STOPPED";
    if (birth != Birth::Imported)
        row.config["volatile.apply_template"] = birth == Birth::Created ? "create" : "copy";
    if (!row.image.empty())
        row.config["volatile.base_image"] = row.image;
    for (const auto &[key, value] : missingCardKeys(birth == Birth::Imported ? row.config : StringMap(), devices))
        row.config[key] = value;
}

} // namespace lxmgr::instances
