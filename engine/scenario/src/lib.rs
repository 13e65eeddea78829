//! The scenario language: parse, replay over any World, judge, report
