$ErrorActionPreference = 'Stop'

foreach ($key in @(Get-UninstallRegistryKey -SoftwareName 'lklfs')) {
  $folder = $key.InstallLocation
  $package = @{
    packageName    = $env:ChocolateyPackageName
    fileType       = 'exe'
    file           = Join-Path $folder 'uninstall.exe'
    # Without _?= the uninstaller goes on as a copy of itself, and Chocolatey would not wait for it.
    silentArgs     = "/S _?=$folder"
    validExitCodes = @(0, 3010)
  }
  Uninstall-ChocolateyPackage @package
  # What it cannot do while it runs from there.
  Remove-Item (Join-Path $folder 'uninstall.exe') -ErrorAction SilentlyContinue
  Remove-Item $folder -ErrorAction SilentlyContinue
}
