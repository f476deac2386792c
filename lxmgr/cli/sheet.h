// What the info commands print: lines of a name and a value, in levels.
#pragma once

#include "base/text.h"

#include <string>
#include <string_view>

namespace lxmgr::cli
{

/// "  Name: value" lines, deeper by two blanks a level.
class Sheet
{
public:
    void line(int level, std::string_view name, std::string_view value)
    {
        m_text.append(static_cast<std::size_t>(level) * 2, ' ').append(name).append(":");
        if (!value.empty())
            m_text.append(" ").append(escaped(value));
        m_text.append("\n");
    }
    void title(int level, std::string_view name) { line(level, name, {}); }
    const std::string &text() const { return m_text; }

private:
    std::string m_text;
};

} // namespace lxmgr::cli
