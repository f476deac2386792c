#include "cli/keys.h"

#include "base/text.h"
#include "cli/terminal.h"

namespace lxmgr::cli
{

Result<KeyValue> keyValue(const std::string &text)
{
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
        return Error(Code::Usage, quoted(text) + " is not <key>=<value>");
    return KeyValue{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::vector<KeyValue>> keyValues(std::span<const std::string> texts)
{
    std::vector<KeyValue> pairs;
    if (texts.size() == 2 && texts[0].find('=') == std::string::npos) {
        pairs.push_back({texts[0], texts[1]});
    } else {
        for (const std::string &text : texts)
            pairs.push_back(TRY(keyValue(text)));
    }
    for (KeyValue &pair : pairs) {
        if (pair.value != "-")
            continue;
        pair.value = TRY(readStandardInput());
        // What a shell's "echo" put behind the value is not part of it.
        if (pair.value.ends_with('\n'))
            pair.value.pop_back();
    }
    return pairs;
}

} // namespace lxmgr::cli
