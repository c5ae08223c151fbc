"""The pages for Ruby: Rails with puma."""

from __future__ import annotations

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import Host
from rig.wait import free_port

RAILS = """
require "action_controller/railtie"

class Shop < Rails::Application
  config.eager_load = true
  config.consider_all_requests_local = false
  config.hosts.clear
  routes.append do
    get "/up", to: ->(env) { [200, {}, ["up"]] }
    root to: "pages#show"
  end
end

class PagesController < ActionController::Base
  def show
    render plain: "release 1 pid #{Process.pid}"
  end
end

Rails.application.initialize!
run Rails.application
"""


@pytest.mark.soak
def test_rails_with_puma(host: Host) -> None:
    """Debian's Rails, without its database; its gems are installed already."""
    port = free_port()
    page = HowTo(host, "rails-puma", port_3000=str(port))
    page.replace('"--quiet"', '"--quiet", "--local"')
    page.write("/etc", {"shop.env": "SECRET_KEY_BASE=" + "x" * 40 + "\n"})
    page.lay_out()
    gems = 'gem "railties"\ngem "puma"\n'
    page.write("/home/ada/shop", {"Gemfile": gems, "config.ru": RAILS})
    newer = {"config.ru": RAILS.replace("release 1", "release 2")}
    found = page.follow(port, {("tar", 2): lambda: page.write("/home/ada/shop", newer)})
    assert set(found) == {"1", "2"}
