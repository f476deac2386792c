// The parsed form of a template text.
#pragma once

#include "images/template_scan.h"
#include "images/template_text.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::images::template_text
{

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
    enum class Kind {
        Literal, ///< value
        Name,    ///< name
        Member,  ///< children[0] . name
        Index,   ///< children[0] [ children[1] ]
        Call,    ///< name ( children )
        Filter,  ///< children[0] | name [ : children[1] ]
        Not,     ///< children[0]
        Negate,  ///< children[0]
        And,     ///< children[0], children[1]; so are the rest
        Or,
        Equal,
        Unequal,
        Less,
        LessEqual,
        Greater,
        GreaterEqual,
        In,
        NotIn,
        Add,
        Subtract,
        Multiply,
        Divide,
        Modulo,
    };
    Kind kind = Kind::Literal;
    Place place;
    Value value;
    std::string name;
    std::vector<ExpressionPtr> children;
};

struct Statement;
using Block = std::vector<Statement>;

struct Branch {
    ExpressionPtr condition; ///< nullptr: else.
    Block body;
};

struct Statement {
    enum class Kind {
        Plain,  ///< text
        Output, ///< expression
        If,     ///< branches
        For,    ///< names in expression: branches[0], or branches[1] when there is nothing
        Set,    ///< names[0] = expression
        Group,  ///< branches[0]
    };
    Kind kind = Kind::Plain;
    Place place;
    std::string text;
    ExpressionPtr expression;
    std::vector<std::string> names;
    std::vector<Branch> branches;
    bool reversed = false;
};

struct Program {
    Block body;
};

} // namespace lxmgr::images::template_text
