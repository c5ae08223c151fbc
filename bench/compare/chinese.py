"""The words of the table on the Chinese page."""

from __future__ import annotations

CHINESE = {
    "code": "退出码",
    "serves": "继续服务",
    "out of service": "服务中断",
    "a signal": "只是信号",
    "none": "无",
    "never": "一直没有",
    "next release: yes": "还能发布",
    "next release: no": "不能再发布",
    "of": "{requests} 个中 {lost} 个",
    "by kind": "{of}（新连接 {new}，长连接 {kept}，POST {post}）",
    "head": "| | 发布三次：丢失的请求 "
    "| 从发命令到新连接、到全部请求由新版本应答（直接启动程序要用） "
    "| 到旧进程全部退出 | 命令用时 "
    "| 发布时的 p99 是平时的几倍 "
    "| 新版本启动不了：丢失的请求、退出码、之后 "
    "| 管理进程被杀死：5 秒内丢失的请求、之后 | 空闲时的管理进程 |",
    "short head": "| | 发布三次：丢失的请求 | 到全部请求由新版本应答 "
    "| 新版本启动不了：丢失的请求、之后 "
    "| 管理进程被杀死：丢失的请求、之后 | 管理进程的内存 |",
    "and": "，",
}
