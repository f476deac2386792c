// JSON: what is read is written so that it reads the same; request bodies never crash.
#include "api/envelope.h"
#include "api/execution.h"
#include "api/instances.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::api;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    if (const Result<Json> value = Json::parse(text)) {
        const std::string written = value->dump();
        const Result<Json> again = Json::parse(written);
        if (!again || again->dump() != written)
            std::abort();
    }
    if (const Result<InstancesPost> post = fromJson<InstancesPost>(text))
        if (!fromJson<InstancesPost>(toJson(*post)))
            std::abort();
    if (const Result<Envelope> envelope = parseEnvelope(text))
        (void)envelope->as<InstanceFull>(); // only must not crash
    (void)fromJson<ControlMessage>(text);   // the same
    (void)Time::parse(text);                // the same
    return 0;
}
